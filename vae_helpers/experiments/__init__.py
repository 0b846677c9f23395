"""Many models at once, on the cores of one machine or on a cluster, and what they say together.

Nothing is imported here: a worker needs `point` alone, and so no Matplotlib.
"""
