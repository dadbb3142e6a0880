"""Training over `model.fit`: what a run is, its stages, and the folder that it leaves. Knows nothing of conversion."""
