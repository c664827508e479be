"""Results in: report, summary, timeline, files, the HTML page."""
