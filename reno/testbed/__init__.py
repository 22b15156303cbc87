"""An embedded world of coloured objects, with models small enough to ship and an oracle that knows what they show."""
