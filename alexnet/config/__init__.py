"""What params.yaml may say: each setting declared once, and the registries of nets and sources. Starts without torch."""
