"""SQL engines behind one small face. It knows nothing of what the SQL says."""
