"""The page of a run, and every figure that it has the numbers for."""

from federated.report.gallery import save_all
from federated.report.page import write_side_by_side, write_summary
from federated.report.precision import comparison_text
from federated.report.summary import summary_table

__all__ = ["comparison_text", "save_all", "summary_table", "write_side_by_side", "write_summary"]
