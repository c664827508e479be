"""One batch until each of its pairs has a result: send, classify, reconcile, bisect, preflight."""
