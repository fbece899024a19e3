-- What was applied, oldest first. "C": as the files are sorted, whatever the database's collation.
SELECT name, encode(checksum, 'hex') AS checksum FROM schema_migrations ORDER BY name COLLATE "C";
