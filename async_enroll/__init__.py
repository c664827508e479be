"""Move learners in and out of courses on MOOCit and Open edX, asynchronously and accounted for."""
