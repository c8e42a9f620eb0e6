"""From packed images to network inputs: the warp and the augmentations, on whole batches."""
