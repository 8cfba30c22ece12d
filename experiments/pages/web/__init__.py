"""One page for a browser, made of all recorded runs: tables that sort and filter, and pictures that answer."""
