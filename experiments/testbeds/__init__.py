"""Testbeds: questions about distances, each with its pairs and its score."""
