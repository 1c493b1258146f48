"""Parts that touch the world. Each knows core and ports, and no other adapter."""
