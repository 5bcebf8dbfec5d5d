"""The page of a run, and every figure that it has the numbers for."""

from federated.report.gallery import save_all
from federated.report.page import summary_table, write_summary

__all__ = ["save_all", "summary_table", "write_summary"]
