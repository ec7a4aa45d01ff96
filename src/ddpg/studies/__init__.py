"""What the tutorial article argues, as experiments: each a claim, trainings with seeds, a figure and a verdict."""
