"""The page of a run, and every figure that it has the numbers for."""

from federated.report.gallery import save_all
from federated.report.page import write_summary
from federated.report.summary import summary_table

__all__ = ["save_all", "summary_table", "write_summary"]
