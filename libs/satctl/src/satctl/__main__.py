"""`python -m satctl`."""

from satctl.main import main

main()
