-- network.allow of a project (CONTRACT.md): {"allow": ["HOST:PORT", …]}; NULL: its agents reach nothing but their model.
ALTER TABLE projects ADD COLUMN network jsonb;
