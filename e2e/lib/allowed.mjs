/**
 * Failures that the reference server itself produces while the frontend is used as in this suite.
 * Everything that is not listed here, and not expected by a test, fails the test.
 *
 * `call` is `METHOD /path` without query, `status` the HTTP status, `message` a pattern for a
 * console error or an uncaught exception.
 */
export const ALLOWED = [
	{
		call: 'GET /api/v1/channels/',
		status: 403,
		reason: 'the automations page, and every page whose role has changed, ask for channels though these are switched off by default'
	}
];
