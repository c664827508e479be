"""From the socket to the view: proxy, workers, tokens, throttle; and the forms of answers."""
