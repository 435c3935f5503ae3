"""The admin command line of Satfields."""
