"""The payment channels: one port, one adapter per channel that talks over a network."""
