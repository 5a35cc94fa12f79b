"""The masked autoencoder and the loop that trains it on one set of images; knows nothing of sites or federation."""
