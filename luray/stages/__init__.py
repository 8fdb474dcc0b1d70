"""The stages of a run, one file for each verb; none of them imports Ray before it computes."""
