"""Objects on any store: what may be opened, receipts, leases, references and Zarr inputs."""
