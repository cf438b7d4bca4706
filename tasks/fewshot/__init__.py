"""Learning new classes from a few labelled drawings: episodes, learners, their training and their tests."""
