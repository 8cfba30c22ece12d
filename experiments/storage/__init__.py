"""Files that last: whole or not there, named by what they hold."""
