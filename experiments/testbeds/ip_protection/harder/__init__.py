"""What a thief does who knows that the copy will be looked for: each goes on from the victim's weights.

All are called as `attacks.finetune_all` is: (victim, images, labels, seed) -> a changed copy in eval mode.
"""
