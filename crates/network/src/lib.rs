//! Bridges, interfaces, the layer-2 guard, addresses and published ports
