"""The shared library of Satfields; it knows nothing of Dagster (but for `contract`), click or Kubernetes."""
