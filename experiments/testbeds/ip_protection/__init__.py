"""Is a suspect a copy of the victim?"""
