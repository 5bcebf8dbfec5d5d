"""The run folder: where everything lies, and a run as tidy DataFrames."""
