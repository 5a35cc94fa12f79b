"""Being here, this file lets the folders below import `made_tasks`."""
