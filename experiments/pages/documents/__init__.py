"""What README and docs show of configurations and records: blocks of text that are made anew, never typed."""
