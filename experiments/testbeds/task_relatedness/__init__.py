"""Do distances between encoders agree with how well their tasks transfer?"""
