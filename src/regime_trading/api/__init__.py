"""The API: HTTP and the live channel over the services; the only place that names fastapi."""
