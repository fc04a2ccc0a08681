/**
 * What the scripted provider answers, as far as the tests rely on it.
 */

const SENTENCE = ['The', ' quick', ' brown', ' fox', ' jumps', ' over', ' the', ' lazy', ' dog.'];

/** The text of `slow` in so many chunks, one every 200 ms. */
export function fixedText(chunks) {
	return Array.from({ length: chunks }, (_, index) => (index > 0 && index % 9 === 0 ? ' The' : SENTENCE[index % 9])).join('');
}

/** The text of `usage`, whatever it is asked. */
export const STOCK_TEXT = 'These are seven tokens of text.';

/** What it calls every chat. */
export const TITLE = 'A fixed title';

/** The follow-up messages that it suggests. */
export const FOLLOW_UPS = ['What comes first?', 'What comes next?', 'What comes last?'];

/** The message of `error-500`. */
export const FAILURE = 'The scripted provider failed.';
