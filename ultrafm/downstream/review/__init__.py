"""Review of errors: the surest mistakes, what a score leans on (tested against chance), and what goes with errors."""
