"""The steps of finding the scan area: the coarse area, its straight edges and arcs, the fitted sector or rectangle."""
