"""One exchange with a site: transport, signing in, and what a failure means."""
