"""The net: its layers, their order, their initial weights. It knows neither data nor the pipeline that cuts it."""
