"""Sources of scenes, and how a day's acquisitions become one scene."""
