"""What a curated site says of itself: data sheet, flow diagram, contact sheet, Croissant."""
