"""Report.pdf: what was searched, trained and measured."""
