"""Brokers, each fulfilling `daicho.ports.event_bus.EventBus`."""
