/**
 * Documents to upload.
 */

import { theBrowser } from './stage.mjs';

/**
 * Prints HTML.
 *
 * @param {string} html
 * @returns {Promise<Buffer>} the PDF
 */
export async function printed(html) {
	const page = await (await theBrowser()).newPage();
	try {
		await page.setContent(html);
		return await page.pdf();
	} finally {
		await page.close();
	}
}
