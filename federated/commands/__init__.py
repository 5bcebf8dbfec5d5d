"""The command: parse, call, print. Heavy packages are imported only by the call that needs them."""
