"""Has a model forgotten?"""
