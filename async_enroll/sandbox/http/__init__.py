"""From the socket to the view: proxy, workers, tokens, throttle; and what answers look like."""
