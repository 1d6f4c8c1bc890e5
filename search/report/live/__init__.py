"""The page of a run over loopback, drawn anew while the run goes on."""
