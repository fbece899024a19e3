-- The deployment's secret is made once.
INSERT INTO deployment (secret) VALUES (decode($1, 'hex')) ON CONFLICT DO NOTHING;
