"""Delivers one batch until each of its pairs has a result: send, classify, reconcile, bisect."""
