"""The catalogue that a configuration names; each kind is a module, imported only where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from satcommon.sources.polite_requests import PoliteRequests
    from satcommon.sources.stac_config import StacConfig
    from satcommon.sources.stac_search import Catalogue


def open_catalogue(config: StacConfig, asking: PoliteRequests) -> Catalogue:
    """The catalogue; nothing is asked yet.

    Args:
        config: of the source.
        asking: makes the requests.
    """
    if config.endpoint:
        from satcommon.sources.stac_search import ApiCatalogue

        return ApiCatalogue(config, asking)
    if config.catalogue:
        from satcommon.sources.stac_static import StaticCatalogue

        return StaticCatalogue(config.catalogue, config, asking)
    from satcommon.sources.stac_parquet import ParquetCatalogue

    assert config.items is not None
    return ParquetCatalogue(config.items, config)
