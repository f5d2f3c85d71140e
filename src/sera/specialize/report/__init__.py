"""The report: one HTML page of what a specialisation has come to. `write_report` is the way in."""

from sera.specialize.report.page import report_page, write_report

__all__ = ["report_page", "write_report"]
